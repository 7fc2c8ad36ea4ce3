"""The hatidata command: thin verbs over the rooms below."""
