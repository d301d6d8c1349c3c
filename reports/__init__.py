"""Records to HTML, Markdown and terminal text."""
