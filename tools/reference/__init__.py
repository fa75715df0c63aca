"""Generated parts of docs/reference, written into the pages by cog."""
