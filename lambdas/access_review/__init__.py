"""Access that is looked at: a review opens with each quarter, and lent roles that have ended are written down."""
