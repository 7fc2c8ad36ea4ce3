"""The function in the customer's own account that finds, proves and restores audit records.

Nodes only write, the control plane may stand elsewhere: audit text never leaves the account.
"""
