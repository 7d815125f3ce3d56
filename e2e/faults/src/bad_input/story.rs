//! What happens to the object of a number.

use serde_json::{Value, json};

use super::mutation::mutate;
use super::object::{Act, Guard, Name, Object, Step, What};
use super::odd;
use super::random::Random;
use super::valid::{self, OLD};

/// Says what happens to an object.
type Tell = fn(&mut Story);

/// The object of that number.
pub fn object(seed: u64, number: usize) -> Object {
    let mut random = Random::of(seed, number);
    let stories: &[(usize, Tell)] = match Guard::of(number) {
        Guard::Chart => &[
            (50, bad_ticket),
            (13, edited),
            (4, status),
            (5, bad_record),
            (3, record_status),
            (9, marker),
            (6, bad_workload),
            (6, deleted),
            (4, alias),
        ],
        Guard::Nothing => &[
            (24, bad_ticket),
            (8, edited),
            (21, status),
            (15, bad_record),
            (12, record_status),
            (9, marker),
            (3, bad_workload),
            (6, deleted),
            (2, alias),
        ],
    };
    let tell = random.weighted(stories);
    let mut story = Story {
        random,
        ticket: format!("t-{number}"),
        record: format!("r-{number}"),
        workload: format!("w-{number}"),
        made: Object { number, classes: Vec::new(), steps: Vec::new() },
    };
    tell(&mut story);
    story.made.classes.sort_unstable();
    story.made.classes.dedup();
    story.made
}

struct Story {
    random: Random,
    ticket: String,
    record: String,
    workload: String,
    made: Object,
}

impl Story {
    fn good(&mut self, what: What, act: Act) {
        self.made.steps.push(Step { what, act, bad: false });
    }

    fn bad(&mut self, what: What, act: Act, classes: &[&'static str]) {
        self.made.classes.extend(classes);
        self.made.steps.push(Step { what, act, bad: true });
    }

    fn pause(&mut self, most: usize) {
        let pause = self.random.below(most);
        self.good(What::Ticket, Act::Pause(pause));
    }

    fn any_ticket(&mut self) -> Value {
        valid::any_ticket(&self.ticket, &self.workload, &mut self.random)
    }

    /// The workload, which some tickets lack.
    fn workload(&mut self) {
        if self.random.chance(80) {
            let workload = valid::workload("Deployment", &self.workload);
            self.good(What::Deployment, Act::Create(workload));
        }
    }

    fn ticket_name(&self) -> Name {
        Name::Is(self.ticket.clone())
    }

    /// A ticket whose rollout takes a while.
    fn in_flight(&mut self) {
        let workload = valid::workload("Deployment", &self.workload);
        self.good(What::Deployment, Act::Create(workload));
        let image = *self.random.pick(&["ghcr.io/acme/app:slow", "ghcr.io/acme/app:never", "ghcr.io/acme/app:bad"]);
        let ticket = valid::ticket(&self.ticket, &self.workload, image);
        self.good(What::Ticket, Act::Create(ticket));
    }
}

fn bad_ticket(story: &mut Story) {
    story.workload();
    let mut ticket = story.any_ticket();
    let classes = mutate(&mut ticket, "/spec", &mut story.random);
    story.bad(What::Ticket, Act::Create(ticket), &classes);
    if story.random.chance(20) {
        edit(story);
    }
    if story.random.chance(10) {
        story.pause(2000);
        let name = story.ticket_name();
        story.good(What::Ticket, Act::Delete(name));
    }
}

fn edited(story: &mut Story) {
    story.workload();
    let ticket = story.any_ticket();
    story.good(What::Ticket, Act::Create(ticket));
    edit(story);
    if story.random.chance(30) {
        edit(story);
    }
}

fn edit(story: &mut Story) {
    story.pause(2500);
    let mut ticket = story.any_ticket();
    let mut classes = mutate(&mut ticket, "/spec", &mut story.random);
    classes.push("edited");
    let mut patch = json!({"spec": ticket["spec"]});
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        if !ticket["metadata"][field].is_null() {
            patch["metadata"][field] = ticket["metadata"][field].take();
        }
    }
    let name = story.ticket_name();
    story.bad(What::Ticket, Act::Patch(name, patch), &classes);
}

/// A ticket's status, written by hand.
fn status(story: &mut Story) {
    story.workload();
    let ticket = story.any_ticket();
    story.good(What::Ticket, Act::Create(ticket));
    for _ in 0..=story.random.below(2) {
        story.pause(2500);
        let mut by_hand = json!({"status": valid::ticket_status(&story.workload, &story.record)});
        thin_out(&mut by_hand, &mut story.random);
        let mut classes = mutate(&mut by_hand, "/status", &mut story.random);
        classes.push("status by hand");
        let name = story.ticket_name();
        story.bad(What::Ticket, Act::Status(name, by_hand["status"].take()), &classes);
    }
}

/// Without some of its fields: a full status is only one of many.
fn thin_out(object: &mut Value, random: &mut Random) {
    for place in super::tree::places(object, "/status") {
        if !place.ends_with("observedGeneration") && place.matches('/').count() < 5 && random.chance(15) {
            super::tree::remove(object, &place);
        }
    }
}

/// A record made by hand, of a ticket that is there or not.
fn bad_record(story: &mut Story) {
    story.workload();
    let mut uid = "00000000-0000-0000-0000-000000000001";
    if story.random.chance(60) {
        let ticket = story.any_ticket();
        story.good(What::Ticket, Act::Create(ticket));
        uid = "@uid@";
    }
    let mut record = valid::record(&story.record, &story.ticket, uid, &story.workload);
    record["spec"]["action"] = json!(*story.random.pick(&["Rollout", "Observe", "Rollback"]));
    let mut classes = mutate(&mut record, "/spec", &mut story.random);
    classes.push("record by hand");
    story.bad(What::Record, Act::Create(record), &classes);
    if story.random.chance(50) {
        let name = Name::Is(story.record.clone());
        record_status_of(story, &name);
    }
}

fn record_status(story: &mut Story) {
    story.in_flight();
    let name = Name::RecordOf(story.ticket.clone());
    record_status_of(story, &name);
}

fn record_status_of(story: &mut Story, name: &Name) {
    story.pause(1000);
    let ended = story.random.chance(50);
    let mut by_hand = json!({"status": valid::record_status(&story.workload, ended)});
    thin_out(&mut by_hand, &mut story.random);
    let mut classes = mutate(&mut by_hand, "/status", &mut story.random);
    classes.push("record by hand");
    story.bad(What::Record, Act::Status(name.clone(), by_hand["status"].take()), &classes);
}

/// Two tickets for one workload, one after the other. One of them has a name for it that is more than a name: it becomes part of a path.
fn alias(story: &mut Story) {
    let own = story.workload.clone();
    let names = [
        format!("{own}?x"),
        format!("{own}?dryRun=All"),
        format!("{own}#x"),
        format!("{own}/"),
        format!("{own}/status"),
        format!("{own}/scale"),
        format!("./{own}"),
        format!("../deployments/{own}"),
        format!("../../@namespace@/deployments/{own}"),
        format!("../../default/deployments/{own}"),
        format!("../statefulsets/{own}"),
        format!("..%2fdeployments%2f{own}"),
        own.replace('-', "%2d"),
        own.to_uppercase(),
        format!("{own}."),
    ];
    let name = story.random.pick(&names).clone();
    let first = story.random.chance(50);
    let workload = valid::workload("Deployment", &own);
    story.good(What::Deployment, Act::Create(workload));
    let slow = *story.random.pick(&["ghcr.io/acme/app:slow", "ghcr.io/acme/app:never"]);
    for (ticket, image, odd) in [("a", slow, first), ("b", valid::NEW, !first)] {
        let mut ticket = valid::ticket(&format!("{}-{ticket}", story.ticket), &own, image);
        if odd {
            ticket["spec"]["targets"][0]["workloadRef"] = json!({"name": name});
            ticket["spec"]["targets"][0]["containers"] = json!([own]);
            story.bad(What::Ticket, Act::Create(ticket), &["name as a path"]);
        } else {
            story.good(What::Ticket, Act::Create(ticket));
        }
        story.pause(1500);
    }
}

/// Odd marks on a workload, before its ticket comes or while it is rolled out.
fn marker(story: &mut Story) {
    let mut workload = valid::workload("Deployment", &story.workload);
    if story.random.chance(50) {
        workload["metadata"]["labels"] = marks(story)["labels"].take();
        workload["metadata"]["annotations"] = marks(story)["annotations"].take();
        story.bad(What::Deployment, Act::Create(workload), &["marks"]);
    } else {
        story.good(What::Deployment, Act::Create(workload));
    }
    let ticket = story.any_ticket();
    story.good(What::Ticket, Act::Create(ticket));
    if story.random.chance(70) {
        story.pause(2500);
        let patch = json!({"metadata": marks(story)});
        let name = Name::Is(story.workload.clone());
        story.bad(What::Deployment, Act::Patch(name, patch), &["marks"]);
    }
}

fn marks(story: &mut Story) -> Value {
    let random = &mut story.random;
    let record = (*random.pick(&["r-1-0123456789", "good", "../../x", "", "..", "good-a", "UPPER"])).to_owned();
    let uid = *random.pick(&["@uid@", "00000000-0000-0000-0000-000000000000"]);
    let mut made = json!({"status": valid::marker(&story.workload, uid, &record)});
    let annotation = match random.below(9) {
        0 => odd::text(random),
        1 => "{".repeat(1 + random.below(2000)),
        2 => "[".repeat(100_000),
        3 => {
            let whole = made["status"].to_string();
            whole[..random.below(whole.len())].to_owned()
        }
        4 => odd::huge(random).chars().take(60_000).collect(),
        5 => made["status"].to_string(),
        6 => json!({"workloadUid": uid}).to_string(),
        _ => {
            mutate(&mut made, "/status", random);
            made["status"].to_string()
        }
    };
    let label = match random.below(8) {
        0 => "true".to_owned(),
        1 => "0123456789".to_owned(),
        2 => "0123456789.back".to_owned(),
        3 => "abcdefabcd.back.back".to_owned(),
        4 => String::new(),
        5 => "x".repeat(63),
        6 => "x".repeat(64),
        _ => odd::text(random),
    };
    json!({"annotations": {"trackdown.dev/deployment": annotation}, "labels": {"trackdown.dev/rolling": label}})
}

/// A workload that is odd itself, and a ticket for it.
fn bad_workload(story: &mut Story) {
    let (what, kind) =
        *story.random.pick(&[(What::Deployment, "Deployment"), (What::StatefulSet, "StatefulSet"), (What::DaemonSet, "DaemonSet")]);
    let mut workload = valid::workload(kind, &story.workload);
    let random = &mut story.random;
    let classes = match random.below(6) {
        0 => mutate(&mut workload, "/spec", random),
        1 => {
            workload["spec"]["template"]["spec"]["containers"][0]["image"] = json!(odd::image(random));
            vec!["image"]
        }
        2 => {
            workload["spec"]["replicas"] = odd::number(random);
            vec!["number"]
        }
        3 => {
            workload["spec"]["paused"] = json!(true);
            workload["spec"]["strategy"] = json!({"type": "Recreate"});
            vec!["odd workload"]
        }
        4 => {
            let more = (0..40).map(|n| json!({"name": format!("c-{n}"), "image": OLD}));
            workload["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().extend(more);
            vec!["many"]
        }
        _ => {
            let keys = [
                "kustomize.toolkit.fluxcd.io/name",
                "argocd.argoproj.io/instance",
                "app.kubernetes.io/managed-by",
                "helm.sh/chart",
            ];
            workload["metadata"]["labels"] = json!({*random.pick(&keys): random.pick(&["", "x", "Helm", "flux"])});
            let annotations = ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name", "trackdown.dev/write"];
            workload["metadata"]["annotations"] = json!({*random.pick(&annotations): odd::text(random)});
            vec!["metadata"]
        }
    };
    // No thousands of pods: they would be the control plane's problem.
    if workload["spec"]["replicas"].as_f64().is_some_and(|n| n > 2.0) {
        workload["spec"]["replicas"] = json!(0);
    }
    story.bad(what, Act::Create(workload), &classes);
    story.made.classes.push("odd workload");
    let mut ticket = story.any_ticket();
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"kind": kind});
    story.good(What::Ticket, Act::Create(ticket));
}

/// Something is deleted while it is in use, and sometimes made again.
fn deleted(story: &mut Story) {
    story.in_flight();
    story.pause(3000);
    let (workload, ticket) = (Name::Is(story.workload.clone()), story.ticket_name());
    let record = Name::RecordOf(story.ticket.clone());
    let lots =
        [vec![(What::Record, record.clone())], vec![(What::Deployment, workload.clone())], vec![(What::Ticket, ticket.clone())]];
    let mut gone = lots[story.random.below(3)].clone();
    if story.random.chance(30) {
        gone = vec![(What::Record, record), (What::Ticket, ticket), (What::Deployment, workload)];
    }
    for (what, name) in gone {
        story.bad(what, Act::Delete(name), &["deleted"]);
    }
    if story.random.chance(50) {
        story.pause(1500);
        let workload = valid::workload("Deployment", &story.workload);
        story.good(What::Deployment, Act::Create(workload));
        let ticket = story.any_ticket();
        story.good(What::Ticket, Act::Create(ticket));
    }
}
