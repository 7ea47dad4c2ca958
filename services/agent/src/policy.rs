//! What a task may do, and what a person is asked about first. It decides by the action alone: nothing that a file, a
//! program or a model says changes it.

use devstudio_proto::agent::v1::{TaskPolicy, agent_action::Act};

use crate::action;

/// Deleting more files at once is asked about.
pub const FREE_DELETIONS: usize = 20;

/// May the action be chosen at all?
pub fn offers(policy: TaskPolicy, tool: &str) -> bool {
    match policy {
        TaskPolicy::ReadOnly => matches!(tool, "read_file" | "search" | "ask_user" | "finish"),
        TaskPolicy::Free => tool != "ask_user",
        _ => true,
    }
}

/// Is a plan shown to a person before it is followed?
pub fn asks_about_plans(policy: TaskPolicy) -> bool {
    policy == TaskPolicy::Ask
}

/// How many files a program may remove that an agent runs, where there is a bound.
pub fn removable(policy: TaskPolicy) -> Option<i32> {
    (policy != TaskPolicy::Free).then_some(FREE_DELETIONS as i32)
}

/// Why a person is asked about an action, where they are. `deleted` is how many files it deletes.
pub fn asks(policy: TaskPolicy, act: &Act, deleted: usize) -> Option<String> {
    match policy {
        TaskPolicy::Free => None,
        TaskPolicy::Ask if action::writes(act) => Some("this task asks before every change".to_owned()),
        TaskPolicy::Ask if matches!(act, Act::RunExec(_)) => {
            Some("this task asks before every run".to_owned())
        }
        _ if deleted > FREE_DELETIONS => Some(format!("it deletes {deleted} files")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{DeletePathAction, ReadFileAction, RunExecAction, WriteFileAction};

    use super::*;

    #[test]
    fn each_policy_asks_about_what_it_says() {
        let write = Act::WriteFile(WriteFileAction::default());
        let run = Act::RunExec(RunExecAction::default());
        let read = Act::ReadFile(ReadFileAction::default());
        let delete = Act::DeletePath(DeletePathAction::default());
        for (policy, act, deleted, asked) in [
            (TaskPolicy::Ask, &write, 0, true),
            (TaskPolicy::Ask, &run, 0, true),
            (TaskPolicy::Ask, &read, 0, false),
            (TaskPolicy::Workspace, &write, 0, false),
            (TaskPolicy::Workspace, &run, 0, false),
            (TaskPolicy::Workspace, &delete, 20, false),
            (TaskPolicy::Workspace, &delete, 21, true),
            (TaskPolicy::Unspecified, &delete, 21, true),
            (TaskPolicy::Free, &delete, 1000, false),
        ] {
            assert_eq!(asks(policy, act, deleted).is_some(), asked, "{policy:?} {act:?} {deleted}");
        }
        for tool in action::tools() {
            let harmless = ["read_file", "search", "ask_user", "finish"].contains(&tool.as_str());
            assert_eq!(offers(TaskPolicy::ReadOnly, &tool), harmless, "{tool}");
            assert_eq!(offers(TaskPolicy::Free, &tool), tool != "ask_user", "{tool}");
        }
    }
}
