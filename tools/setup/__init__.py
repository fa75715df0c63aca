"""`make setup`: everything a checkout needs, kept inside the checkout.

Standard library only, and started by whatever Python >= 3.11 the machine has.
"""
