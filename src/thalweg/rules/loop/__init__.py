"""Rules about a training loop of the user's own, as `tw.watch` sees it."""
