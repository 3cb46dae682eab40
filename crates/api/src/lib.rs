//! The contract of ovomesh: generated code, and domain types made from it once, at the door.
