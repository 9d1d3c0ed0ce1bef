"""Everything that knows a mesh or another process: sharding, constraints, joining, leaving."""
