"""Fine-tuning and linear probes of encoders that are trained already."""
