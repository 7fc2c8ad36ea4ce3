"""When the key expiry function comes; what it is told stands in `lambdas.register_settings`."""

SCHEDULE_MINUTES = 5
