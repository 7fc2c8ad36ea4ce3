"""PostgreSQL protocol 3 without I/O: bytes in, messages out; the standard library only.

`framing` cuts bytes into messages and refuses lengths before anything is allocated, `startup` reads what comes before
the first typed message, `frontend` what clients say, `backend` what we answer, `protocol` which message may come when.
Source: PostgreSQL 15 documentation, chapter 55 (Frontend/Backend Protocol).
"""
