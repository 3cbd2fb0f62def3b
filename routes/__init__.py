"""The web: views of about ten lines, the page values they gather, forms, errors, and how everything looks."""
