//! Placeholder until its content comes.
