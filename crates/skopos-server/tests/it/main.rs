//! Integration tests of the server, through its sockets.
