//! The integration tests: one binary, a module for each subject, a real program for each situation.

mod examples;
mod start;
mod tools;
