//! The database: connections, the role of each service, migrations, and fresh databases for tests.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    Executor as _, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// All migrations, in order.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Connects as a service: the connection takes the role `devstudio_<service>`, which has rights on its own tables
/// only. Where the roles could not be made (a database that forbids it) it goes on as the owner, and says so.
pub async fn connect(url: &str, service: crate::Service, most: u32) -> Result<PgPool, sqlx::Error> {
    let pool = lazy(url, service, most)?;
    drop(pool.acquire().await?);
    Ok(pool)
}

/// Like [`connect`], but connects at the first query: for services that start before their database does.
pub fn lazy(url: &str, service: crate::Service, most: u32) -> Result<PgPool, sqlx::Error> {
    let role = format!("devstudio_{service}");
    let options = PgConnectOptions::from_str(url)?.application_name(&role);
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(move |connection, _| {
            let role = role.clone();
            Box::pin(async move {
                let there: Option<i32> = sqlx::query_scalar("select 1 from pg_roles where rolname = $1")
                    .bind(&role)
                    .fetch_optional(&mut *connection)
                    .await?;
                match there {
                    Some(_) => {
                        connection.execute(sqlx::AssertSqlSafe(format!("set role {role}"))).await.map(drop)
                    }
                    None => {
                        tracing::warn!(role, "the database has no such role; going on as its owner");
                        Ok(())
                    }
                }
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// Does the database answer, and has it the schema? For health: it says no as well where it takes too long.
pub async fn has_schema(pool: &PgPool) -> bool {
    let asked =
        sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null").fetch_one(pool);
    matches!(tokio::time::timeout(Duration::from_secs(2), asked).await, Ok(Ok(true)))
}

/// Brings the schema up to this version. Safe to run from several processes at once.
pub async fn migrate(url: &str) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    MIGRATIONS.run(&pool).await?;
    pool.close().await;
    Ok(())
}

/// Fresh databases for tests, cloned from a template that is migrated once.
#[cfg(feature = "testing")]
pub mod testing {
    use super::*;
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

    /// The environment variable that names a cluster in which tests may make databases.
    pub const CLUSTER: &str = "DEVSTUDIO_TEST_DATABASE_URL";

    /// A database of one test; dropped with it.
    pub struct Fresh {
        /// Where it is.
        pub url: String,
        name: String,
        admin: String,
    }

    impl Fresh {
        /// Connects as a service.
        pub async fn connect(&self, service: crate::Service) -> PgPool {
            super::connect(&self.url, service, 8).await.expect("the database was just made")
        }

        /// Connects as the owner, to look at everything.
        pub async fn owner(&self) -> PgPool {
            PgPoolOptions::new()
                .max_connections(2)
                .connect(&self.url)
                .await
                .expect("the database was just made")
        }
    }

    impl Drop for Fresh {
        fn drop(&mut self) {
            let (admin, name) = (self.admin.clone(), self.name.clone());
            let dropped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map(|runtime| {
                    runtime.block_on(async {
                        if let Ok(mut connection) = PgConnection::connect(&admin).await {
                            let sql = format!("drop database if exists \"{name}\" with (force)");
                            let _ = connection.execute(AssertSqlSafe(sql)).await;
                        }
                    })
                })
            });
            let _ = dropped.join();
        }
    }

    /// Makes a database with the whole schema, in about 0.1 s.
    pub async fn fresh() -> Fresh {
        let admin = std::env::var(CLUSTER).unwrap_or_else(|_| {
            panic!("{CLUSTER} is not set: run tests by `cargo xtask test`, or name a PostgreSQL that tests may use")
        });
        let mut connection = PgConnection::connect(&admin).await.expect("the test cluster answers");
        let template = template(&mut connection, &admin).await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let sql = format!("create database \"{name}\" template \"{template}\" strategy wal_log");
        lock(&mut connection).await;
        connection.execute(AssertSqlSafe(sql)).await.expect("the template is there");
        Fresh { url: with_database(&admin, &name), name, admin }
    }

    async fn lock(connection: &mut PgConnection) {
        connection.execute("select pg_advisory_lock(7316)").await.expect("a lock");
    }

    async fn template(connection: &mut PgConnection, admin: &str) -> String {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for migration in MIGRATIONS.iter() {
            hash.update(&migration.checksum);
        }
        let name = format!(
            "template_{}",
            &hash.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>()[..16]
        );
        lock(connection).await;
        let there: Option<i32> =
            sqlx::query_scalar("select 1 from pg_database where datname = $1 and datistemplate")
                .bind(&name)
                .fetch_optional(&mut *connection)
                .await
                .expect("the catalogue is readable");
        if there.is_none() {
            let half = format!("half_{name}");
            for sql in [
                format!("drop database if exists \"{half}\" with (force)"),
                format!("create database \"{half}\""),
            ] {
                connection.execute(AssertSqlSafe(sql)).await.expect("tests may make databases");
            }
            super::migrate(&with_database(admin, &half)).await.expect("the migrations run");
            for sql in [
                format!("drop database if exists \"{name}\" with (force)"),
                format!("alter database \"{half}\" rename to \"{name}\""),
                format!("alter database \"{name}\" is_template true"),
            ] {
                connection.execute(AssertSqlSafe(sql)).await.expect("tests may make databases");
            }
        }
        connection.execute("select pg_advisory_unlock(7316)").await.expect("an unlock");
        name
    }

    fn with_database(url: &str, name: &str) -> String {
        let (head, query) = url.split_once('?').map_or((url, None), |(head, query)| (head, Some(query)));
        let base = head.rfind('/').filter(|at| *at > "postgres://".len()).map_or(head, |at| &head[..at]);
        let query = query.map(|q| format!("?{q}")).unwrap_or_default();
        format!("{base}/{name}{query}")
    }
}
