"""When the access review function comes; what it is told stands in `lambdas.register_settings`."""

SCHEDULE_MINUTES = 5
