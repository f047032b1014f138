"""tinymath: maths problems and the small models that come with the package."""
