"""Everything that touches the outside: object store, manifests, processes, tracking, settings."""
