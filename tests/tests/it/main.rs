//! The integration tests: one binary, a module for each subject, a real program for each situation.

mod bad_input;
mod branch;
mod descriptors;
mod drain;
mod ends;
mod examples;
mod handover;
mod inheritance;
mod kill;
mod limits;
mod listeners;
mod messages;
mod options;
mod orphans;
mod reload;
mod roles;
mod scoreboard;
mod start;
mod stop;
mod tools;
mod zygote;
