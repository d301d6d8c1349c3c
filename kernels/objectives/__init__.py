"""One self-supervised objective a file: paper, shapes, loss, step."""
