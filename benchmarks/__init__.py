"""How long a run takes, and how much longer what people would use instead; all on the same hosts in one go."""
