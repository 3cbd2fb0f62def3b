"""The web face: blueprints, page values, forms and error pages."""
