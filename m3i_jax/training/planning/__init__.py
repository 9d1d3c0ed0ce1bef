"""What a run will cost, known before it starts: shapes, bytes, operations, peaks of devices."""
