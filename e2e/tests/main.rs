//! End-to-end tests on a real control plane. `make test-e2e FILTER=part_of_a_name` runs some of them.

// Tests may fail; a helper that only some of them use is no dead code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    missing_docs
)]

#[path = "../harness/mod.rs"]
mod harness;

mod admission;
mod argo;
mod checks;
mod conditions;
mod conformance;
mod crash;
mod docs;
mod evidence;
mod failing;
mod gates;
mod gitops;
mod happy;
mod holes;
mod interference;
mod midway;
mod person;
mod program;
mod queueing;
mod rollback;
mod sequence;
mod unheard;
mod unusual;
mod upgrade;
mod waiting;
mod wording;
mod workloads;

use std::sync::Arc;

use harness::cluster::Cluster;
use libtest_mimic::{Arguments, Trial};

/// Tests that run side by side: most of their time is waiting.
const THREADS: usize = 4;

type Test = fn(&Arc<Cluster>) -> futures::future::BoxFuture<'_, ()>;

/// Lists tests by module and name.
macro_rules! tests {
    ($($module:ident::{$($test:ident),* $(,)?}),* $(,)?) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($test)), (|cluster| Box::pin($module::$test(cluster))) as Test)),*),*]
    };
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let tests = tests![
        happy::{ticket_becomes_a_rollout, budget_of_requests, idle_asks_for_nothing, several_targets, sixteen_targets, kubectl_behaves_as_expected, status_alone_is_written},
        failing::{
            bad_image_rolls_back_and_stops, crash_loop_is_found, config_error_is_found, deadline_explains_itself, hold_leaves_the_bad_image,
            previous_is_never_the_bad_image, one_bad_target_of_two, new_image_starts_afresh, retry_by_annotation, quota_is_found,
            scaled_to_zero_between_two_tries,
        },
        gates::{
            each_gate_says_why_and_opens, dependencies, missing_workload, wrong_kind, ambiguous_container, paused_workload, gitops_owner,
            replaces_guards, forbidden_write, refused_record, monitor_only, dry_run, absent_state_asks_nothing, deployed_by_ci,
        },
        midway::{
            state_taken_back, eligibility_withdrawn, manual_override, image_edited, target_removed, ticket_deleted_and_created_again,
            failed_scan,
        },
        interference::{set_image_is_contested, workload_deleted, record_deleted, scaler, label_removed, admission_pins_digests, marker_removed},
        unusual::{zero_replicas, recreate, max_unavailable_all, init_container_and_list, already_current},
        workloads::{
            stateful_set, daemon_set, stateful_set_comes_back, daemon_set_comes_back, broken_stateful_set_is_fixed_forward,
            unsupported_strategies,
        },
        argo::{
            a_pause_is_told, traffic_moves, pods_fail_after_the_promotion, a_persons_abort_stands, an_analysis_fails,
            never_back_to_what_was_not_promoted, an_invalid_spec_is_no_start, a_failure_from_before_is_noticed,
            going_back_waits_for_a_person, a_referenced_deployment_is_no_workload, blue_green,
        },
        sequence::{in_order, third_fails_and_all_come_back, another_image_starts_over, second_round_fails_and_ends, what_cannot_be_taken_back_stops_it, comes_back_without_its_records},
        rollback::{
            to_what_ran_before, to_a_named_record, while_it_rolls_out, refuses_what_it_cannot, one_target_of_two, bad_old_image_stays,
            one_target_done_again, ends_the_tries, is_not_moved_to_another_workload, held_failure_is_taken_back, closed_ticket_stays_closed, while_it_takes_itself_back,
            a_second_request_waits_for_the_first, withdrawn_between_two_tries,
        },
        checks::{
            good_answers_end_the_rollout, bad_answers_roll_back, still_bad_after_the_rollback, what_may_not_be_asked, deadline_ends_checks,
            jobs, jobs_are_off_by_default, jobs_take_the_right_to_make_them,
        },
        evidence::{moved_tag, records_are_kept_within_bounds},
        gitops::{
            git_delivers, git_delivers_what_fails, owner_appears_during_the_rollout, owner_appears_before_the_rollback,
            consent_with_ignored_differences, consent_alone_is_contested, taken_back_through_git, state_owned_by_git, state_owned_by_ci,
            old_manifests_are_warned_about,
        },
        wording::{events_name_their_attempt, a_done_ticket_is_history, closed_by_hand, unknown_targets_are_told, lists_fit_a_terminal, unreadable_tickets_are_left_alone},
        waiting::{hung_rollouts_hold_up_nobody, looks_in_vain_stay_few},
        queueing::{two_tickets_for_one_workload, many_tickets, refused_write_keeps_its_place},
        crash::{kill_at_any_moment, kill_and_undo, two_replicas_at_once, restart_writes_nothing, api_server_restarts, kill_and_recreate, refused_then_lost_then_undone},
        admission::{
            illegal_steps_are_refused, malformed_tickets_are_refused, stored_tickets_stay_writable, harmless_edits_are_not_refused, applying_twice_changes_nothing,
            rights_decide_who_may_deploy, users_cannot_write_records,
        },
        holes::{
            only_the_operator_writes_status, a_rollback_is_what_was_asked_for, the_operators_own_bounds, a_stripped_policy_stops_what_is_new,
        },
        person::{at_any_moment},
        unheard::{silent_watches_are_noticed, lost_events_of_a_rollout_are_made_good, a_lost_request_is_made_good},
        docs::{every_page_runs, manifests_are_accepted},
        conditions::{parked_rolling_done_blocked},
        conformance::{the_models_api_server_is_the_real_one},
        upgrade::{
            slow_pods_are_followed, patch_nobody_heard_of, intent_without_record, rollback_decided, rollback_under_way, between_two_tries,
            queue_keeps_its_order, sequence_comes_back, many_under_way, what_is_at_rest_stays_untouched,
        },
        program::{waits_for_its_crds, standby_takes_over, terminates_gracefully, uninstall_leaves_workloads, serves_metrics, works_through_a_proxy},
    ];
    // The version before is built by `make test-upgrade` alone.
    let ignored = |name: &str| name.starts_with("upgrade::") && upgrade::previous().is_none();
    let wanted = |name: &str| !ignored(name) && arguments.filter.as_ref().is_none_or(|f| name.contains(f.as_str()));
    let any = !arguments.list && tests.iter().any(|(name, _)| wanted(name));
    let cluster = any.then(|| {
        let _ = std::fs::remove_dir_all(std::path::Path::new(harness::ROOT).join("target/e2e"));
        Arc::new(Cluster::with_crds(&[]))
    });
    let trials = tests.into_iter().map(|(name, test)| {
        let cluster = cluster.clone();
        Trial::test(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(test(cluster.as_ref().ok_or("no cluster")?));
            Ok(())
        })
        .with_ignored_flag(ignored(name))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(cluster);
    argo::shut_down();
    conclusion.exit();
}
