//! What every ovomesh service starts with: listen, health, reflection, TLS, telemetry, drain.
