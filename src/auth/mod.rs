//! Who somebody is and what they may do: tokens, callers, permissions, one-time codes. Signing in is
//! in [`crate::member`] and [`crate::staff`], which share [`code`] and [`issued`].

pub mod caller;
pub mod code;
pub mod issued;
pub mod permission;
pub mod token;
