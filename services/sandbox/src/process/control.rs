//! The service's end of the control socket: what it tells a sandbox, and what it is told. `wire` is the other end.

use std::{
    io::ErrorKind,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    spec::{Ask, Note},
    wire::MAX_FDS,
};
use crate::error::{Doing as _, SandboxError};

/// Passes a question on.
pub fn ask_it(control: &AsyncFd<OwnedFd>, ask: Ask) -> Result<(), SandboxError> {
    let text = serde_json::to_vec(&ask).map_err(|error| SandboxError::Internal(error.to_string()))?;
    match send(control, &text, &[]) {
        // It ends at this moment, and that is about to be noticed.
        Err(SandboxError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Tells a sandbox something, with the descriptors that belong to it.
pub fn send(control: &AsyncFd<OwnedFd>, text: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut extra = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        extra.push(SendAncillaryMessage::ScmRights(fds));
    }
    let text = [std::io::IoSlice::new(text)];
    sendmsg(control.get_ref(), &text, &mut extra, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .doing("telling a sandbox")
        .map(drop)
}

/// The next note, with the descriptors that came along; nothing when the sandbox has closed its end.
pub async fn receive(control: &AsyncFd<OwnedFd>) -> Result<Option<(Note, Vec<OwnedFd>)>, SandboxError> {
    let mut text = [0u8; 4096];
    let received = control
        .async_io(Interest::READABLE, |control| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut extra = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let message = recvmsg(control, &mut [std::io::IoSliceMut::new(&mut text)], &mut extra, flags)?;
            let fds = extra.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            });
            Ok((message.bytes, fds.flatten().collect::<Vec<_>>()))
        })
        .await;
    let (bytes, fds) = match received {
        Ok(received) => received,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error).doing("listening to a sandbox"),
    };
    if bytes == 0 {
        return Ok(None);
    }
    let note = serde_json::from_slice(&text[..bytes]).map_err(|e| SandboxError::Internal(e.to_string()))?;
    Ok(Some((note, fds)))
}
