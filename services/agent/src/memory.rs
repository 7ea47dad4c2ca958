//! What a task knows of itself: its events, put together so that the next step follows from them. Made anew whenever a
//! worker takes a task, so a task whose worker was killed goes on as if nothing had been.

use std::collections::HashMap;

use devstudio_proto::agent::v1::{
    ActionChosen, ActionDone, AgentMessage, Decided, MessageKind, TaskEvent, TaskState, agent_action::Act,
    task_event::Event,
};

use crate::action;

/// One step of an agent.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose.
    pub agent_id: String,
    /// What was chosen.
    pub chosen: ActionChosen,
    /// What a person said about it.
    pub decided: Option<Decided>,
    /// It waited for a person.
    pub waited: bool,
    /// What came of it; nothing where it is not done yet.
    pub done: Option<ActionDone>,
}

impl Step {
    /// The act; steps without one are not recorded.
    pub fn act(&self) -> Option<&Act> {
        self.chosen.action.as_ref()?.act.as_ref()
    }
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The plan.
    pub plan: Option<Vec<String>>,
    /// What a person said about the plan.
    pub plan_decided: Option<Decided>,
    /// All steps, in order.
    pub steps: Vec<Step>,
    /// What agents and people told each other, in order.
    pub messages: Vec<AgentMessage>,
    /// How many steps there were when the present agent's turn began.
    pub turn_began: usize,
    /// How often the work was handed back.
    pub handed_back: usize,
    /// The last state that was told.
    pub state: Option<TaskState>,
}

impl Memory {
    /// Puts events together.
    pub fn of(events: impl IntoIterator<Item = TaskEvent>) -> Self {
        let mut memory = Self::default();
        for event in events {
            memory.add(event);
        }
        memory
    }

    /// One event more.
    pub fn add(&mut self, event: TaskEvent) {
        let agent_id = event.agent_id;
        match event.event {
            Some(Event::Plan(plan)) => (self.plan, self.plan_decided) = (Some(plan.steps), None),
            Some(Event::Action(chosen)) => {
                self.steps.push(Step { agent_id, chosen, decided: None, waited: false, done: None });
            }
            Some(Event::Waiting(_)) => {
                if let Some(step) = self.open() {
                    step.waited = true;
                    // It is asked anew: what was said before is of something else.
                    step.decided = None;
                }
            }
            Some(Event::Decided(decided)) => match self.open() {
                Some(step) => step.decided = Some(decided),
                None => self.plan_decided = Some(decided),
            },
            Some(Event::Done(done)) => {
                if let Some(step) = self.open() {
                    step.done = Some(done);
                }
            }
            Some(Event::Message(message)) => {
                if message.kind() == MessageKind::Handoff {
                    self.turn_began = self.steps.len();
                    // Who handed over first between two agents hands over; the other hands back.
                    let between = |m: &&AgentMessage| {
                        m.kind() == MessageKind::Handoff
                            && [&m.from, &m.to].iter().all(|who| [&message.from, &message.to].contains(who))
                    };
                    let first = self.messages.iter().find(between);
                    self.handed_back += usize::from(first.is_some_and(|first| first.from == message.to));
                }
                self.messages.push(message);
            }
            Some(Event::State(state)) => self.state = Some(state.state()),
            Some(Event::Progress(_)) | None => {}
        }
    }

    fn open(&mut self) -> Option<&mut Step> {
        self.steps.last_mut().filter(|step| step.done.is_none())
    }

    /// The step that was chosen and is not done.
    pub fn undone(&self) -> Option<&Step> {
        self.steps.last().filter(|step| step.done.is_none())
    }

    /// Steps of the present agent's turn.
    pub fn turn(&self) -> &[Step] {
        &self.steps[self.turn_began.min(self.steps.len())..]
    }

    /// A file was changed by this task.
    pub fn has_written(&self) -> bool {
        self.steps.iter().any(|step| {
            step.done.as_ref().is_some_and(|done| done.ok) && step.act().is_some_and(action::writes)
        })
    }

    /// The last run of this turn: did it end well? Nothing where there was none.
    pub fn last_run(&self) -> Option<bool> {
        let runs = self.turn().iter().rev().filter(|step| matches!(step.act(), Some(Act::RunExec(_))));
        runs.filter_map(|step| step.done.as_ref()).map(|done| done.ok && done.exit_code == 0).next()
    }

    /// How often an act was done in this turn since a person was last asked.
    pub fn times(&self, hash: &str) -> usize {
        let mut times: HashMap<String, usize> = HashMap::new();
        for step in self.turn() {
            if step.decided.is_some() {
                times.clear();
                continue;
            }
            if let Some(action) = &step.chosen.action {
                *times.entry(action::hash(action)).or_default() += 1;
            }
        }
        times.get(hash).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{AgentAction, SearchAction};

    use super::*;

    fn told(agent_id: &str, event: Event) -> TaskEvent {
        TaskEvent { agent_id: agent_id.to_owned(), event: Some(event), ..TaskEvent::default() }
    }

    fn handoff(from: &str, to: &str) -> TaskEvent {
        let kind = MessageKind::Handoff.into();
        told(
            from,
            Event::Message(AgentMessage { from: from.into(), to: to.into(), kind, text: String::new() }),
        )
    }

    fn chosen(query: &str) -> TaskEvent {
        let act = Some(Act::Search(SearchAction { query: query.into() }));
        let action = Some(AgentAction { thought: String::new(), act });
        told("coder", Event::Action(ActionChosen { action, ..ActionChosen::default() }))
    }

    fn done() -> TaskEvent {
        told("coder", Event::Done(ActionDone { ok: true, ..ActionDone::default() }))
    }

    #[test]
    fn only_what_goes_back_counts_as_handed_back() {
        let events = [
            handoff("planner", "coder"),
            handoff("coder", "tester"),
            handoff("tester", "coder"),
            handoff("coder", "tester"),
            handoff("tester", "coder"),
        ];
        assert_eq!(Memory::of(events).handed_back, 2);
    }

    #[test]
    fn a_step_is_open_until_it_is_done_and_a_turn_begins_with_a_hand_over() {
        let mut memory = Memory::of([chosen("a"), done(), chosen("b")]);
        assert!(memory.undone().is_some());
        memory.add(done());
        assert!(memory.undone().is_none());
        assert_eq!(memory.turn().len(), 2);
        memory.add(handoff("coder", "tester"));
        assert_eq!((memory.turn().len(), memory.steps.len()), (0, 2));
    }

    #[test]
    fn the_same_act_is_counted_until_a_person_has_spoken() {
        let mut memory = Memory::of([chosen("a"), done(), chosen("b"), done(), chosen("a")]);
        let hash = action::hash(memory.steps[0].chosen.action.as_ref().expect("an action"));
        assert_eq!(memory.times(&hash), 2);
        memory.add(told("", Event::Decided(Decided::default())));
        memory.add(done());
        memory.add(chosen("a"));
        assert_eq!(memory.times(&hash), 1);
    }
}
