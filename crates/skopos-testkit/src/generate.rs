//! Generators of telemetry.
