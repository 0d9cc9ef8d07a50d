//! The integration tests: one binary, a module for each subject, a real program for each situation.

mod branch;
mod drain;
mod ends;
mod examples;
mod kill;
mod options;
mod start;
mod stop;
mod tools;
mod zygote;
