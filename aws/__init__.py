"""The law's ports on AWS: each file implements one port and is named for what the service is to us.

The only room that imports boto3.
"""
