# ruby-pg: libpq with parameters, named statements, pipeline mode, COPY, cancel, reset.
# Prints one line of JSON for each step; what they are to give is said in tests/clients/matrix.py.

require "json"
require "pg"

PLACE = JSON.parse(ARGV[0])
NAMES = "SELECT name FROM app.users ORDER BY id"
ADD = "INSERT INTO app.users (email, name) VALUES ($1, $2)"
REMOVE = "DELETE FROM app.users WHERE email = $1"
ASLEEP = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"

def show(**line)
  puts JSON.generate(line)
  $stdout.flush
end

def connected
  tls = PLACE["ca"] ? { sslmode: "verify-full", sslrootcert: PLACE["ca"] } : { sslmode: "disable" }
  address = { host: PLACE["host"], port: PLACE["port"], dbname: PLACE["database"], user: PLACE["user"] }
  address[:password] = PLACE["password"] if PLACE["password"]
  client = PG.connect(**address, **tls)
  yield client
ensure
  client&.close
end

def names(client)
  client.exec(NAMES).column_values(0)
end

def count(client, sql, *values)
  client.exec_params(sql, values).cmd_tuples
end

# The SQLSTATE that a block fails with.
def code
  yield
  nil
rescue PG::Error => error
  error.result&.error_field(PG::PG_DIAG_SQLSTATE) || error.message
end

# Try again until it works: the server may still be starting.
def insist
  deadline = Time.now + 60
  begin
    yield
  rescue PG::Error
    raise if Time.now > deadline

    sleep 0.02
    retry
  end
end

def reset(client, pid)
  insist do
    client.reset
    { replaced: client.backend_pid != pid, names: names(client) }
  end
end

STEPS = {
  "connect" => -> { connected { |client| names(client) } },
  "crud" => lambda {
    connected do |client|
      id, name = client.exec_params("#{ADD} RETURNING id, name", ["zoe@example.org", "Zoe"]).values[0]
      update = "UPDATE app.users SET name = $2 WHERE id = $1"
      delete = "DELETE FROM app.users WHERE id = $1"
      {
        inserted: name,
        updated: count(client, update, id, "Zoë"),
        untouched: count(client, update, 4, "Zoë"),
        returned: client.exec_params("#{delete} RETURNING name", [id]).column_values(0),
        again: count(client, delete, id),
        hidden: count(client, delete, 4),
        names: names(client)
      }
    end
  },
  "transaction" => lambda {
    connected do |client|
      seen = {}
      begin
        client.transaction do
          count(client, "DELETE FROM app.users WHERE id = $1", 1)
          seen[:inside] = names(client)
          client.exec("SAVEPOINT one")
          seen[:refused] = code { client.exec("TRUNCATE app.users") }
          seen[:failed] = code { names(client) }
          client.exec("ROLLBACK TO one")
          seen[:kept] = names(client)
          raise "undo"
        end
      rescue RuntimeError => error
        raise unless error.message == "undo"
      end
      seen.merge(after: names(client))
    end
  },
  "batch" => lambda {
    connected do |client|
      client.enter_pipeline_mode
      client.send_query_params(ADD, ["batch@example.org", "Batch"])
      2.times { client.send_query_params(REMOVE, ["batch@example.org"]) }
      client.send_query_params(NAMES, [])
      client.pipeline_sync
      answers = Array.new(4) { client.get_result.tap { client.get_result } }
      raise "no sync" unless client.get_result.result_status == PG::PGRES_PIPELINE_SYNC

      client.exit_pipeline_mode
      { counts: answers.first(3).map(&:cmd_tuples), names: answers.last.column_values(0) }
    end
  },
  "cursor" => lambda {
    connected do |client|
      client.transaction do
        client.exec_params("DECLARE few CURSOR FOR SELECT name FROM app.users WHERE id > $1 ORDER BY id", [0])
        found = []
        until (part = client.exec("FETCH 2 FROM few").column_values(0)).empty?
          found += part
        end
        found
      end
    end
  },
  "copy_out" => lambda {
    connected do |client|
      text = +""
      client.copy_data("COPY app.users (id, name) TO STDOUT") do
        while (row = client.get_copy_data)
          text << row
        end
      end
      text
    end
  },
  "copy_in" => lambda {
    connected do |client|
      done = client.copy_data("COPY app.users (email, name) FROM STDIN") do
        client.put_copy_data("copied1@example.org\tOne\ncop")
        client.put_copy_data("ied2@example.org\tTwo\n")
      end
      { copied: done.cmd_tuples, deleted: count(client, "DELETE FROM app.users WHERE email LIKE 'copied%'") }
    end
  },
  "cancel" => lambda {
    connected do |client|
      connected do |other|
        client.send_query("SELECT pg_sleep(60) FROM app.users")
        sleep 0.01 while count(other, ASLEEP, client.backend_pid).zero?
        client.cancel
        { code: code { client.get_last_result }, names: names(client) }
      end
    end
  },
  "prepared" => lambda {
    connected do |client|
      connected do |other|
        client.prepare("add", ADD)
        client.prepare("remove", REMOVE)
        client.prepare("names", NAMES)
        client.prepare("star", "SELECT * FROM app.users WHERE id = $1")
        client.exec_prepared("star", [1])
        seen = []
        look = lambda do
          client.exec_prepared("add", ["prepared@example.org", "Prepared"])
          seen << client.exec_prepared("remove", ["prepared@example.org"]).cmd_tuples
          seen << client.exec_prepared("names").ntuples
        end
        look.call
        other.exec("ALTER TABLE app.users ADD COLUMN more text")
        look.call
        changed = code { client.exec_prepared("star", [1]) }
        other.exec("ALTER TABLE app.users DROP COLUMN more")
        look.call
        { seen: seen, changed: changed }
      end
    end
  },
  "reconnect" => lambda {
    connected do |client|
      connected do |other|
        pid = client.backend_pid
        count(other, "SELECT pg_terminate_backend($1, 20000)", pid)
        reset(client, pid)
      end
    end
  },
  "restart" => lambda {
    connected do |client|
      pid = client.backend_pid
      show(step: "ready")
      $stdin.gets
      reset(client, pid)
    end
  }
}.freeze

show(step: "version", result: PG::VERSION)
PLACE["steps"].each do |step|
  next unless STEPS.key?(step)

  show(step: step, result: STEPS[step].call)
rescue StandardError => error
  show(step: step, error: error.full_message(highlight: false))
end
