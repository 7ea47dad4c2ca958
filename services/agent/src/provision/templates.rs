//! Templates: plans that were found to work, kept as data, and ranked for a workspace and a wish.

use std::collections::{BTreeMap, BTreeSet};

use devstudio_kit::{Caller, Fault, Reason};
use devstudio_proto::agent::v1::{EnvFacts, EnvPlan, PlannedCommand, Template};
use prost::Message as _;
use uuid::Uuid;

use super::{
    facts::{self, Found},
    plan,
    run::{PROVISIONER, Provision},
};
use crate::{Error, peers::Actor, store::TemplateRow};

/// Most versions of templates of a person.
const MOST: i64 = 200;
/// The runtime that a command's program belongs to.
const PROGRAMS: [(&str, &str); 14] = [
    ("python3", "python"),
    ("python", "python"),
    ("pytest", "python"),
    ("node", "node"),
    ("npm", "node"),
    ("npx", "node"),
    ("gcc", "c"),
    ("cc", "c"),
    ("clang", "c"),
    ("g++", "c++"),
    ("rustc", "rust"),
    ("cargo", "rust"),
    ("perl", "perl"),
    ("bash", "bash"),
];

/// The runtime that a plan's commands need: the first that is more than a shell, also within a shell's line.
fn runtime(plan: &EnvPlan) -> &'static str {
    let of = |program: &str| PROGRAMS.iter().find(|(name, _)| *name == program).map(|(_, runtime)| *runtime);
    let words = |command: &PlannedCommand| match command.argv.as_slice() {
        [shell, flag, line, ..] if shell == "bash" && flag == "-c" => {
            line.split_whitespace().map(str::to_owned).chain([shell.clone()]).collect()
        }
        [program, ..] => vec![program.clone()],
        [] => Vec::new(),
    };
    let needed: Vec<&str> = plan.commands.iter().flat_map(words).filter_map(|word| of(&word)).collect();
    let mut needed = needed.into_iter();
    needed.clone().find(|runtime| *runtime != "bash").or_else(|| needed.next()).unwrap_or("bash")
}

/// What files are like, as a vector: shares of languages by their files, and package managers.
fn likeness(facts: &EnvFacts) -> BTreeMap<String, f64> {
    let files: i32 = facts.languages.iter().map(|share| share.files).sum();
    let mut vector: BTreeMap<String, f64> = BTreeMap::new();
    for share in &facts.languages {
        vector.insert(share.language.clone(), f64::from(share.files) / f64::from(files.max(1)));
    }
    for manager in &facts.package_managers {
        vector.insert(format!("{manager}()"), 0.5);
    }
    vector
}

/// The cosine of two vectors; 0 where one is empty.
fn cosine(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> f64 {
    let norm =
        |vector: &BTreeMap<String, f64>| vector.values().map(|value| value * value).sum::<f64>().sqrt();
    let dot: f64 = a.iter().filter_map(|(key, value)| Some(value * b.get(key)?)).sum();
    let length = norm(a) * norm(b);
    if length > 0.0 { dot / length } else { 0.0 }
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| word.len() > 2);
    words.map(str::to_lowercase).collect()
}

/// How many of the wish's words a text has, from 0 to 1.
fn overlap(wish: &BTreeSet<String>, text: &str) -> f64 {
    match wish.len() {
        0 => 0.0,
        all => words(text).intersection(wish).count() as f64 / all as f64,
    }
}

/// How well a template fits: half likeness, three tenths words, a fifth success, by Laplace's rule.
fn score(facts: &EnvFacts, wish: &str, row: &TemplateRow, plan: &EnvPlan) -> f64 {
    let files: Vec<Found> = plan
        .files
        .iter()
        .map(|file| Found {
            path: file.path.clone(),
            size_bytes: i32::try_from(file.text.len()).unwrap_or(i32::MAX),
        })
        .collect();
    let texts = plan.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    let makes = facts::of(&files, &texts);
    let languages: Vec<&str> = makes.languages.iter().map(|share| share.language.as_str()).collect();
    let told = format!("{} {} {} {}", row.name, row.about, row.built_in, languages.join(" "));
    let success = (row.successes as f64 + 1.0) / (row.uses as f64 + 2.0);
    0.5 * cosine(&likeness(facts), &likeness(&makes)) + 0.3 * overlap(&words(wish), &told) + 0.2 * success
}

impl Provision {
    /// The templates that a caller can use, best first.
    pub async fn templates(
        &self,
        caller: &Caller,
        workspace_id: &str,
        wish: &str,
    ) -> Result<Vec<Template>, Error> {
        let person = caller.person()?;
        let workspace_id = self.peers.workspace(caller, workspace_id).await?;
        let actor = Actor::once(person, PROVISIONER, workspace_id);
        let (facts, _) = self.facts(&actor).await?;
        let runtimes = self.peers.runtimes(&actor).await?;
        let mut templates = Vec::new();
        for row in self.store.templates(person.user_id).await? {
            let plan =
                plan::read(&row.plan).map_err(|why| Fault::internal(format!("{}: {why}", row.name)))?;
            let needed = runtime(&plan);
            templates.push(Template {
                score: score(&facts, wish, &row, &plan),
                template_id: row.template_id.to_string(),
                name: row.name,
                about: row.about,
                version: row.version,
                built_in: row.built_in,
                paths: plan.files.iter().map(|file| file.path.clone()).collect(),
                commands: plan.commands.iter().map(|command| plan::typed(&command.argv)).collect(),
                runtime: needed.to_owned(),
                available: runtimes.contains_key(needed),
                uses: i32::try_from(row.uses).unwrap_or(i32::MAX),
                successes: i32::try_from(row.successes).unwrap_or(i32::MAX),
            });
        }
        templates.sort_by(|a, b| {
            (b.available, b.score).partial_cmp(&(a.available, a.score)).unwrap_or(a.name.cmp(&b.name))
        });
        Ok(templates)
    }

    /// Keeps a plan that was verified as a template of its person's.
    pub async fn keep(
        &self,
        user_id: Uuid,
        plan_id: Uuid,
        name: &str,
        about: &str,
    ) -> Result<(Uuid, i32), Error> {
        let row = self.store.plan(user_id, plan_id).await?;
        if row.state != "VERIFIED" {
            return Err(Error::State("the plan is not verified; only what works becomes a template"));
        }
        let plan = EnvPlan::decode(row.plan.as_slice())?;
        let about: String = match about.trim() {
            "" => plan.summary.chars().filter(|character| !character.is_control()).take(400).collect(),
            about => about.to_owned(),
        };
        let (plan, now) = (plan::json(&plan), self.clock.now());
        let kept = self.store.keep_template(user_id, name.trim(), &about, &plan, now, MOST).await?;
        kept.ok_or_else(|| {
            let fault =
                Fault::new(Reason::QuotaExceeded, format!("you keep {MOST} templates already; delete one"));
            fault.with("limit", MOST).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use devstudio_proto::agent::v1::{LanguageShare, PlannedFile};

    use super::*;

    fn plan(path: &str, program: &str) -> EnvPlan {
        EnvPlan {
            files: vec![PlannedFile { path: path.into(), text: "x".into(), reason: String::new() }],
            commands: vec![PlannedCommand { argv: vec![program.into()] }],
            ..EnvPlan::default()
        }
    }

    fn row(name: &str, uses: i64, successes: i64) -> TemplateRow {
        TemplateRow {
            template_id: Uuid::nil(),
            version: 1,
            built_in: String::new(),
            name: name.into(),
            about: String::new(),
            plan: String::new(),
            uses,
            successes,
        }
    }

    #[test]
    fn what_is_like_the_workspace_fits_best_then_what_the_wish_names_then_what_worked() {
        let python = EnvFacts {
            languages: vec![LanguageShare { language: "python".into(), files: 3, bytes: 9 }],
            ..EnvFacts::default()
        };
        let (py, js) = (plan("a.py", "python3"), plan("a.js", "node"));
        let of = |facts: &EnvFacts, wish, plan: &EnvPlan, row: &TemplateRow| score(facts, wish, row, plan);
        assert!(of(&python, "", &py, &row("A", 0, 0)) > of(&python, "", &js, &row("B", 0, 0)) + 0.4);
        let empty = EnvFacts::default();
        assert!(
            of(&empty, "a node server", &js, &row("Node", 0, 0))
                > of(&empty, "a node server", &py, &row("Py", 9, 9))
        );
        assert!(of(&empty, "", &py, &row("A", 10, 10)) > of(&empty, "", &py, &row("A", 10, 1)));
        for score in [of(&python, "python a", &py, &row("A", 9, 9)), of(&empty, "", &js, &row("", 9, 0))] {
            assert!((0.0..=1.0).contains(&score), "{score}");
        }
    }

    #[test]
    fn a_plan_needs_the_runtime_of_its_first_program_that_is_more_than_a_shell() {
        let mut both = plan("a.c", "bash");
        assert_eq!(runtime(&both), "bash");
        both.commands.push(PlannedCommand { argv: vec!["gcc".into(), "a.c".into()] });
        assert_eq!(runtime(&both), "c");
        let argv = ["bash", "-c", "gcc -o x a.c"].map(str::to_owned).to_vec();
        assert_eq!(runtime(&EnvPlan { commands: vec![PlannedCommand { argv }], ..EnvPlan::default() }), "c");
        assert_eq!(runtime(&plan("x", "unheard-of")), "bash");
    }
}
