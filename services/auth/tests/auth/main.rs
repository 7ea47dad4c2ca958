//! Auth through its generated clients, over links as in production, on a fresh database each.

mod access;
mod house;
mod keys;
mod logs;
mod people;
mod revocations;
mod sessions;
mod sign_in;
mod tickets;
mod tokens;
