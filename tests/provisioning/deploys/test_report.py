"""What a deploy says of itself."""

from __future__ import annotations

from provisioning.deploys.report import Report, StepReport

#: disks 5 s, then packages 2 s -> docker 3 s beside model 4 s; limits at once.
STEPS = (
    StepReport("disks", ("mkfs",), 5.0, changed=True),
    StepReport("limits"),
    StepReport("packages", ("apt",), 2.0, changed=True, after=("disks",)),
    StepReport("model", (), 4.0, after=("disks", "absent")),
    StepReport("docker", ("apt",), 3.0, changed=True, after=("packages", "disks")),
)


def test_the_longest_path_is_found() -> None:
    """Steps beside it cost nothing."""
    assert ("disks", "packages", "docker") == Report("h", STEPS, 10.5).longest_path


def test_what_changed_is_told() -> None:
    """In the order of the steps."""
    assert ("disks", "packages", "docker") == Report("h", STEPS, 10.5).changed


def test_a_report_is_plain_values() -> None:
    """For the manifest, and for programs."""
    about = Report("h", STEPS, 10.5).about()
    assert (10.5, 10.0, False) == (about["seconds"], about["longest_path_s"], about["dry_run"])
    step = {"name": "disks", "changed": True, "seconds": 5.0, "commands": ["mkfs"]}
    assert step == about["steps"][0]


def test_a_dry_run_says_what_cannot_be_told() -> None:
    """More may come of it."""
    steps = (StepReport("model", changed=True, more=True),)
    assert True is Report("h", steps, 0.1, dry_run=True).about()["steps"][0]["more"]


def test_no_steps_have_no_path() -> None:
    """A recipe that asks for nothing."""
    assert ((), ()) == (Report("h", (), 0.1).longest_path, Report("h", (), 0.1).changed)
