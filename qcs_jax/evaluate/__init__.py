"""From logits to what an evaluation reports: intervals, calibration, files."""
