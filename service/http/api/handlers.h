// The handlers in the router's table, one file per noun. struct route in router.h tells when, and
// on which thread, each kind of function is called.
#pragma once

#include "base/rc.h"

struct call;
struct db;
struct job;

// stock.c
enum rc stock_deduct_prepare(struct call *call);
enum rc stock_restock_prepare(struct call *call);
void stock_change_answer(struct call *call);
enum rc stock_put_prepare(struct call *call);
enum rc stock_patch_prepare(struct call *call);
enum rc stock_put_run(struct job *job, struct db *db);
enum rc stock_get_prepare(struct call *call);
enum rc stock_get_run(struct job *job, struct db *db);
enum rc stock_list_run(struct job *job, struct db *db);

// coupon.c
enum rc coupon_issue_prepare(struct call *call);
void coupon_issue_answer(struct call *call);
enum rc coupon_put_prepare(struct call *call);
enum rc coupon_put_run(struct job *job, struct db *db);
enum rc coupon_get_run(struct job *job, struct db *db);
enum rc coupon_list_run(struct job *job, struct db *db);

// lottery.c
enum rc lottery_draw_prepare(struct call *call);
void lottery_draw_answer(struct call *call);
enum rc lottery_put_prepare(struct call *call);
enum rc lottery_put_run(struct job *job, struct db *db);
enum rc lottery_get_run(struct job *job, struct db *db);
enum rc lottery_list_run(struct job *job, struct db *db);

// points.c
enum rc points_earn_prepare(struct call *call);
enum rc points_spend_prepare(struct call *call);
void points_change_answer(struct call *call);
enum rc points_transfer_prepare(struct call *call);
void points_transfer_answer(struct call *call);
enum rc points_get_run(struct job *job, struct db *db);

// reservation.c
enum rc reservation_reserve_prepare(struct call *call);
void reservation_reserve_answer(struct call *call);
enum rc reservation_confirm_prepare(struct call *call);
enum rc reservation_release_prepare(struct call *call);
enum rc reservation_extend_prepare(struct call *call);
enum rc reservation_find_run(struct job *job, struct db *db);
void reservation_change_answer(struct call *call);
enum rc reservation_get_run(struct job *job, struct db *db);
enum rc reservation_list_prepare(struct call *call);
enum rc reservation_list_run(struct job *job, struct db *db);

// order.c
enum rc order_place_prepare(struct call *call);
enum rc order_find_run(struct job *job, struct db *db);
void order_place_answer(struct call *call);
enum rc order_get_run(struct job *job, struct db *db);
enum rc order_cancel_prepare(struct call *call);
enum rc order_refund_prepare(struct call *call);
enum rc order_refund_run(struct job *job, struct db *db);
void order_refund_answer(struct call *call);

// redemption.c
enum rc code_get_run(struct job *job, struct db *db);
enum rc coupon_validate_prepare(struct call *call);
enum rc coupon_validate_run(struct job *job, struct db *db);
enum rc coupon_redeem_prepare(struct call *call);
enum rc coupon_redeem_run(struct job *job, struct db *db);
enum rc redemption_rollback_prepare(struct call *call);
enum rc redemption_rollback_run(struct job *job, struct db *db);
void redemption_answer(struct call *call);

// changes.c
enum rc changes_prepare(struct call *call);
void changes_answer(struct call *call);

// page.c: the query of the lists
enum rc page_prepare(struct call *call);

// ledger.c
enum rc ledger_list_prepare(struct call *call);
enum rc ledger_list_run(struct job *job, struct db *db);

// reconciliation.c
enum rc reconciliation_run(struct job *job, struct db *db);

// strategies.c
enum rc strategies_get_run(struct job *job, struct db *db);
enum rc strategies_put_prepare(struct call *call);
enum rc strategies_put_run(struct job *job, struct db *db);

// health.c
void health_live_answer(struct call *call);
void health_ready_answer(struct call *call);
void health_metrics_answer(struct call *call);
// lab.c
void lab_list_answer(struct call *call);
enum rc lab_start_prepare(struct call *call);
void lab_start_answer(struct call *call);
enum rc lab_watch_prepare(struct call *call);
void lab_watch_answer(struct call *call);
enum rc lab_step_prepare(struct call *call);
enum rc lab_cancel_prepare(struct call *call);
void lab_run_answer(struct call *call);
enum rc lab_empty_prepare(struct call *call);
void lab_empty_answer(struct call *call);

// documents.c
void document_openapi_answer(struct call *call);
void document_problem_answer(struct call *call);

// pages.c
void pages_answer(struct call *call);
