"""`docs/reference/`, rendered from the declarations: parameters, columns, artifacts, reasons,
settings, commands.

`make reference` writes it; a test holds that what is committed is what would be written.
"""
