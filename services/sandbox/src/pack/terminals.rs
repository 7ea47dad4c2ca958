//! Between the contract's terminals and ports and the sandbox's own.

use devstudio_kit::{Fault, clock};
use devstudio_proto::sandbox::v1 as proto;

use super::{facts, isolation, optional_id, status};
use crate::{
    engine::Isolation,
    port::{Place, Port},
    terminal::{Attached, Ended, Seen, Told, Wish},
};

/// A number of columns or rows.
pub fn cells(number: i32) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

pub fn opening(message: proto::OpenTerminalRequest) -> Result<Wish, Fault> {
    Ok(Wish {
        workspace_id: optional_id(&message.workspace_id, "/workspaceId")?,
        title: message.title,
        command: message.command,
        size: (cells(message.columns), cells(message.rows)),
        env: message.env,
        fencing_token: message.fencing_token,
    })
}

pub fn terminal(seen: Seen) -> proto::Terminal {
    let state = match seen.ended {
        None => proto::TerminalState::Running,
        Some(_) => proto::TerminalState::Ended,
    };
    proto::Terminal {
        terminal_id: seen.terminal_id.to_string(),
        workspace_id: seen.workspace_id.to_string(),
        title: seen.title,
        program: seen.program,
        state: state.into(),
        opened_at: Some(clock::timestamp(seen.opened_at)),
        columns: seen.size.0.into(),
        rows: seen.size.1.into(),
        attached: seen.attached as i32,
        output_bytes: seen.written.0 as i64,
        kept_from: seen.written.1 as i64,
        isolation: isolation(Isolation::Process).into(),
        facts: Some(facts(seen.facts)),
        end: seen.ended.map(end),
        ends_at: seen.ends_at.map(clock::timestamp),
        ring_bytes: seen.ring_bytes as i64,
    }
}

fn end(ended: Ended) -> proto::TerminalEnd {
    proto::TerminalEnd {
        exit_code: ended.exit_code,
        signal: ended.signal,
        status: status(ended.status).into(),
    }
}

pub fn attached(attached: &Attached) -> proto::AttachTerminalResponse {
    let event = proto::attach_terminal_response::Event::Attached(proto::TerminalAttached {
        terminal: Some(terminal(attached.seen.clone())),
        offset: attached.at as i64,
        lost_bytes: attached.lost as i64,
    });
    proto::AttachTerminalResponse { event: Some(event) }
}

pub fn told(told: Told) -> proto::AttachTerminalResponse {
    use proto::attach_terminal_response::Event;
    let event = match told {
        Told::Output(piece) => {
            Event::Output(proto::TerminalOutput { offset: piece.offset as i64, data: piece.data.into() })
        }
        Told::Synced(synced) => Event::Synced(proto::TerminalSynced {
            changed_paths: synced.changed.clone(),
            rejected_paths: synced.rejected.clone(),
        }),
        Told::Ports(ports) => {
            Event::Ports(proto::TerminalPorts { ports: ports.into_iter().map(i32::from).collect() })
        }
        Told::Throttled(throttled) => Event::Throttled(throttled),
        Told::Ended(ended) => Event::End(end(ended)),
    };
    proto::AttachTerminalResponse { event: Some(event) }
}

pub fn port(port: Port) -> proto::Port {
    let (terminal_id, exec_id) = match port.place {
        Place::Terminal(id) => (id.to_string(), String::new()),
        Place::Run(id) => (String::new(), id.to_string()),
    };
    proto::Port { port: port.port.into(), workspace_id: port.workspace_id.to_string(), terminal_id, exec_id }
}
