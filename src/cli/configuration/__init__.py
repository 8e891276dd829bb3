"""`cordboard apply` and `export`: a tenant's configuration as one YAML file, over the public API alone.

document  a YAML file as plain values, and where each of them stands; what is hostile is refused
command   the command line's options; the plan in words, and what is asked
"""
