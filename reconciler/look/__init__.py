"""Look: what is live, at a bounded number of calls, and all that is known of how to ask for it."""
