//! Rights on what the gates hang on.

use super::*;

/// As people set them for their applications, without a schema.
#[tokio::test]
async fn default_privileges_of_the_owner_open_nothing() {
    let Some(_) = programs("default privileges", "UNDERSTUDY_PG_BIN") else { return };
    let room = room();
    let server = Server::at(&room.cloud, Place::Primary).unwrap();
    server.init_primary("of-the-test").await.unwrap();
    server.setup_database(&APPLICATION).await.unwrap();
    let owner = server.administrator("rag").await.unwrap();
    let role = APPLICATION.role;
    let defaults = format!(
        "alter default privileges grant all on tables to {role}; \
         alter default privileges grant all on sequences to {role}; \
         alter default privileges grant all on functions to {role}; \
         alter default privileges grant all on schemas to {role};"
    );
    owner.batch_execute(&defaults).await.unwrap();
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().unwrap();
    for _ in 0..2 {
        owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    }
    lease(&server, HOUR).await;
    let application = application(&room).await;
    for statement in [
        "update understudy.lease set valid_until = 'infinity'",
        "delete from understudy.lease",
        "select setval('understudy.lease_end', 1)",
        "select nextval('understudy.lease_end')",
        "select understudy.unlock_writers()",
        "select understudy.lock_writers()",
        "select understudy.lapse()",
        "insert into understudy.locked (role) values ('postgres')",
        "insert into understudy.listed (name) values ('public.other')",
        "create table understudy.mine ()",
        "select understudy.put_gate_on('public.documents')",
    ] {
        let refused = application.batch_execute(statement).await.expect_err(statement);
        assert_eq!(code(&refused), "42501", "{statement}: {refused}");
    }
    application.batch_execute(INSERT).await.unwrap();
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let bound = ddl::commit_bound(&plan);
    let look = async || heartbeat(&operator, store, bound).await.unwrap().unarmed;
    assert_eq!(look().await, Vec::<String>::new());
    // Somebody gives such a right since: it is named.
    owner.batch_execute(&format!("grant update on understudy.lease to {role}")).await.unwrap();
    assert_eq!(look().await, ["`rag_app` may change what the gates hang on: `understudy.lease`"]);
    owner.batch_execute(&format!("revoke update on understudy.lease from {role}")).await.unwrap();
    owner.batch_execute(&format!("grant execute on function {UNLOCK} to {role}")).await.unwrap();
    assert_eq!(look().await, ["`rag_app` may change what the gates hang on: `understudy.unlock_writers`"]);
    server.stop(Stop::Immediate).await.unwrap();
}

/// One role that cannot be let in keeps nobody else out, and no lease from being renewed.
#[tokio::test]
async fn who_cannot_be_let_in_stops_no_renewal() {
    let Some((room, server)) = armed("a role that is not ours").await else { return };
    let superuser = server.superuser("rag").await.unwrap();
    superuser
        .batch_execute(
            "create role boss superuser nologin; insert into understudy.locked (role) values ('boss')",
        )
        .await
        .unwrap();
    let mut operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    operator.batch_execute(&format!("select {LOCK}")).await.unwrap();
    assert!(log_in(&room, APPLICATION.role).await.is_err());
    statements::set_lease(&mut operator, 7, "here", None, None).await.unwrap();
    assert!(log_in(&room, APPLICATION.role).await.is_ok());
    let locked =
        superuser.query_one("select string_agg(role, ',') from understudy.locked", &[]).await.unwrap();
    assert_eq!(locked.get::<_, Option<String>>(0).as_deref(), Some("boss"));
    server.stop(Stop::Immediate).await.unwrap();
}

/// The script of an older version leaves gates that look alike and hold less.
#[tokio::test]
async fn the_script_of_another_version_does_not_arm() {
    let Some((_room, server)) = armed("an older script").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().unwrap();
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    lease(&server, HOUR).await;
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let look = async || heartbeat(&operator, store, ddl::commit_bound(&plan)).await.unwrap();
    assert!(look().await.gate_armed);
    for comment in ["comment on schema understudy is null", "comment on schema understudy is 'of before'"] {
        owner.batch_execute(comment).await.unwrap();
        let unarmed = look().await.unarmed;
        assert!(
            unarmed.len() == 1 && unarmed.iter().all(|why| why.contains("the script that ran here is not")),
            "{unarmed:?}"
        );
    }
    server.stop(Stop::Immediate).await.unwrap();
}
