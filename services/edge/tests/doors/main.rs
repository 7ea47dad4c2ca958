//! The edge's doors as browsers and programs use them, on real sockets. Behind it stand doubles of Auth and Sandbox.

mod auth;
mod house;
mod preview;
mod revoked;
mod sandbox;
mod streams;
mod terminal;
mod upload;
