#include "records/run_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>

#include "records/run_store_state.h"

namespace sonar {
namespace {

const std::string kProxy = "proxy_ms:";  // begins the names of values

}  // namespace

RunStore::RunStore(const std::string& folder, Mode mode) : state_(std::make_unique<State>()) {
  state_->folder = folder;
  const std::string path = folder + "/run.db";
  std::error_code error;
  if (mode == Mode::read_only) {
    if (!std::filesystem::exists(path, error))
      throw UserError(folder + " holds no run (there is no " + path + "); 'sonar search CONFIG --out DIR' makes one");
  } else {
    std::filesystem::create_directories(folder, error);
    if (error)
      throw EnvironmentError(folder + " cannot be made (" + error.message() + "); choose a folder that you may write");
    state_->lock.emplace(folder);
  }
  state_->database.emplace(path, mode == Mode::read_only, kRunStoreFormat);
  if (mode == Mode::create_or_open) choose_id();
}

RunStore::~RunStore() = default;

const std::string& RunStore::folder() const { return state_->folder; }

std::optional<long> RunStore::writer(const std::string& folder) { return lock_holder(folder); }

// ---- what the run is: configuration, identity, networks ----

void RunStore::bind_configuration(const std::vector<std::pair<std::string, std::string>>& configuration,
                                  const std::vector<std::pair<std::string, std::string>>& defaults) {
  const auto stored = this->configuration();
  if (stored.empty()) {
    state_->transaction([&](Database& db) {
      int64_t position = 0;
      for (const auto& [key, value] : configuration)
        db.run("INSERT INTO configuration (position, key, value) VALUES (?, ?, ?)", position++, key, value);
    });
    return;
  }
  std::map<std::string, std::string> rest(stored.begin(), stored.end());
  std::string differences;
  for (const auto& [key, value] : configuration) {
    const auto it = rest.find(key);
    if (it == rest.end()) {
      if (std::find(defaults.begin(), defaults.end(), std::pair(key, value)) != defaults.end()) continue;
      differences += "\n  " + key + ": not set in the run, " + value + " asked for";
      continue;
    }
    if (it->second != value) differences += "\n  " + key + ": " + it->second + " in the run, " + value + " asked for";
    rest.erase(it);
  }
  for (const auto& [key, value] : rest) differences += "\n  " + key + ": " + value + " in the run, not set now";
  if (differences.empty()) return;
  bool recorded = false;
  state_->with([&](Database& db) {
    db.each(
        "SELECT EXISTS (SELECT 1 FROM measure_job) OR EXISTS (SELECT 1 FROM train_point) OR EXISTS (SELECT 1 FROM "
        "round) OR EXISTS (SELECT 1 FROM value WHERE name GLOB 'proxy_ms:*')",
        [&](SQLite::Statement& row) { recorded = integer_at(row, 0) != 0; });
  });
  if (recorded)
    throw UserError("run " + state_->folder +
                    " has another configuration; continue it with its own, or choose another folder:" + differences);
  state_->transaction([&](Database& db) {
    for (const char* sql :
         {"DELETE FROM network_subgraph", "DELETE FROM network", "DELETE FROM identity", "DELETE FROM configuration",
          "DELETE FROM earlier", "DELETE FROM earlier_subgraph", "DELETE FROM value WHERE name = 'earlier'"})
      db.run(sql);
  });
  bind_configuration(configuration, defaults);
}

std::vector<std::pair<std::string, std::string>> RunStore::configuration() const {
  return state_->with([](Database& db) {
    std::vector<std::pair<std::string, std::string>> result;
    db.each("SELECT key, value FROM configuration ORDER BY position",
            [&](SQLite::Statement& row) { result.emplace_back(text_at(row, 0), text_at(row, 1)); });
    return result;
  });
}

std::vector<IdentityDifference> differences(const RecordIdentity& a, const RecordIdentity& b) {
  std::vector<IdentityDifference> result;
  const auto compare = [&](const char* what, const std::string& in_a, const std::string& in_b) {
    if (in_a != in_b) result.push_back({what, in_a, in_b});
  };
  compare("target", a.target, b.target);
  compare("device", a.device, b.device);
  compare("compiler", a.compiler, b.compiler);
  compare("program space", std::to_string(a.program_space), std::to_string(b.program_space));
  compare("measuring protocol", std::to_string(a.protocol), std::to_string(b.protocol));
  compare("threads", std::to_string(a.threads), std::to_string(b.threads));
  return result;
}

void RunStore::bind_identity(const RecordIdentity& identity) {
  const auto stored = this->identity();
  if (!stored) {
    state_->with([&](Database& db) {
      db.run(
          "INSERT INTO identity (id, target, device, compiler, program_space, protocol, threads) "
          "VALUES (1, ?, ?, ?, ?, ?, ?)",
          identity.target, identity.device, identity.compiler, identity.program_space, identity.protocol,
          identity.threads);
    });
    return;
  }
  std::string text;
  for (const auto& [what, in_run, now] : differences(*stored, identity))
    text += "\n  " + what + ": " + in_run + " in the run, " + now + " now";
  if (!text.empty())
    throw UserError("the measurements of run " + state_->folder +
                    " cannot be compared with new ones; continue it where it began, or choose another folder:" + text);
}

std::optional<RecordIdentity> RunStore::identity() const {
  return state_->with([](Database& db) {
    std::optional<RecordIdentity> result;
    db.each("SELECT target, device, compiler, program_space, protocol, threads FROM identity",
            [&](SQLite::Statement& row) {
              result = RecordIdentity{text_at(row, 0),
                                      text_at(row, 1),
                                      text_at(row, 2),
                                      static_cast<int>(integer_at(row, 3)),
                                      static_cast<int>(integer_at(row, 4)),
                                      static_cast<int>(integer_at(row, 5))};
            });
    return result;
  });
}

void RunStore::put_networks(const std::vector<NetworkRow>& networks) {
  std::map<std::string, NetworkRow> stored;
  for (NetworkRow& row : this->networks()) stored.emplace(row.name, std::move(row));
  state_->transaction([&](Database& db) {
    for (const NetworkRow& network : networks) {
      if (const auto it = stored.find(network.name); it != stored.end()) {
        // Latencies are recorded by subgraph, so a network that now lowers to others would mix two meanings.
        if (it->second.subgraphs != network.subgraphs)
          throw UserError("network " + network.name + " has other subgraphs now than in run " + state_->folder +
                          "; continue the run with the SONAR that began it, or choose another folder");
        continue;
      }
      db.run("INSERT INTO network (name, macs, parameters, peak_activation_bytes) VALUES (?, ?, ?, ?)", network.name,
             network.macs, network.parameters, network.peak_activation_bytes);
      int64_t position = 0;
      for (const auto& [subgraph, occurrences] : network.subgraphs)
        db.run("INSERT INTO network_subgraph (network, position, subgraph, occurrences) VALUES (?, ?, ?, ?)",
               network.name, position++, subgraph, occurrences);
      stored.emplace(network.name, network);
    }
  });
}

std::vector<NetworkRow> RunStore::networks() const {
  return state_->with([](Database& db) {
    std::vector<NetworkRow> result;
    std::map<std::string, size_t> index;
    db.each("SELECT name, macs, parameters, peak_activation_bytes FROM network ORDER BY position",
            [&](SQLite::Statement& row) {
              index[text_at(row, 0)] = result.size();
              result.push_back({text_at(row, 0), real_at(row, 1), real_at(row, 2), real_at(row, 3), {}});
            });
    db.each("SELECT network, subgraph, occurrences FROM network_subgraph ORDER BY network, position",
            [&](SQLite::Statement& row) {
              const auto it = index.find(text_at(row, 0));
              // A reader may look between the two statements, so a network of the second alone is no damage.
              if (it != index.end())
                result[it->second].subgraphs.emplace_back(text_at(row, 1), static_cast<int>(integer_at(row, 2)));
            });
    return result;
  });
}

// ---- rounds and decisions ----

void RunStore::put_round(const RoundRow& round) {
  if (!round.to_steps.empty() && round.to_steps.size() != round.networks.size())
    throw InternalError("round " + std::to_string(round.round) + " has targets for another number of networks");
  state_->transaction([&](Database& db) {
    db.run(
        "INSERT INTO round (round, programs, train_share, tune_share, started_s, ended_s) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (round) DO UPDATE SET programs = excluded.programs, train_share = excluded.train_share, "
        "tune_share = excluded.tune_share, started_s = excluded.started_s, ended_s = excluded.ended_s",
        round.round, round.programs, round.train_share, round.tune_share, round.started_s,
        absent_to_null(round.ended_s));
    db.run("DELETE FROM round_network WHERE round = ?", round.round);
    for (size_t i = 0; i < round.networks.size(); ++i) {
      constexpr auto sql = "INSERT INTO round_network (round, position, network, to_step) VALUES (?, ?, ?, ?)";
      if (round.to_steps.empty())
        db.run(sql, round.round, i, round.networks[i], nullptr);
      else
        db.run(sql, round.round, i, round.networks[i], round.to_steps[i]);
    }
  });
}

std::vector<RoundRow> RunStore::rounds() const {
  return state_->with([](Database& db) {
    std::vector<RoundRow> result;
    std::map<long, size_t> index;
    db.each("SELECT round, programs, train_share, tune_share, started_s, ended_s FROM round ORDER BY round",
            [&](SQLite::Statement& row) {
              RoundRow round;
              round.round = static_cast<int>(integer_at(row, 0));
              round.programs = real_at(row, 1);
              round.train_share = real_at(row, 2);
              round.tune_share = real_at(row, 3);
              round.started_s = real_at(row, 4);
              round.ended_s = real_or_absent(row, 5);
              index[round.round] = result.size();
              result.push_back(std::move(round));
            });
    db.each("SELECT round, network, to_step FROM round_network ORDER BY round, position", [&](SQLite::Statement& row) {
      const auto it = index.find(integer_at(row, 0));
      if (it == index.end()) return;
      result[it->second].networks.push_back(text_at(row, 1));
      if (!row.getColumn(2).isNull()) result[it->second].to_steps.push_back(integer_at(row, 2));
    });
    return result;
  });
}

void RunStore::put_decisions(const std::vector<DecisionRow>& decisions, double ended_s) {
  if (decisions.empty()) throw InternalError("a round ends with at least one decision");
  const int round = decisions.front().round;
  state_->transaction([&](Database& db) {
    db.run("DELETE FROM decision WHERE round = ?", round);
    for (size_t i = 0; i < decisions.size(); ++i) {
      const DecisionRow& d = decisions[i];
      if (d.round != round) throw InternalError("decisions of two rounds in one call");
      db.run(
          "INSERT INTO decision (round, position, network, accuracy, latency_us, rank, kept, reason) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          round, i, d.network, d.objectives.accuracy, d.objectives.latency_us, d.rank, d.kept, d.reason);
    }
    if (db.run("UPDATE round SET ended_s = ? WHERE round = ?", ended_s, round) != 1)
      throw InternalError("decisions of round " + std::to_string(round) + ", which was never begun");
  });
}

std::vector<DecisionRow> RunStore::decisions() const {
  return state_->with([](Database& db) {
    std::vector<DecisionRow> result;
    db.each("SELECT round, network, accuracy, latency_us, rank, kept, reason FROM decision ORDER BY round, position",
            [&](SQLite::Statement& row) {
              DecisionRow d;
              d.round = static_cast<int>(integer_at(row, 0));
              d.network = text_at(row, 1);
              d.objectives = {real_at(row, 2), real_at(row, 3)};
              d.rank = static_cast<int>(integer_at(row, 4));
              d.kept = checked_at(row, 5, 0, 1, db, "decision.kept") != 0;
              d.reason = text_at(row, 6);
              result.push_back(std::move(d));
            });
    return result;
  });
}

// ---- results, and the diary of the run ----

void RunStore::put_results(const std::vector<ResultRow>& results) {
  state_->transaction([&](Database& db) {
    db.run("DELETE FROM result");
    for (size_t i = 0; i < results.size(); ++i) {
      const ResultRow& r = results[i];
      db.run(
          "INSERT INTO result (position, network, accuracy, latency_us, on_front, test_accuracy, end_to_end_us, "
          "end_to_end_spread) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          i, r.network, r.objectives.accuracy, r.objectives.latency_us, r.on_front, absent_to_null(r.test_accuracy),
          absent_to_null(r.end_to_end_us), r.end_to_end_spread);
    }
  });
}

std::vector<ResultRow> RunStore::results() const {
  return state_->with([](Database& db) {
    std::vector<ResultRow> result;
    db.each(
        "SELECT network, accuracy, latency_us, on_front, test_accuracy, end_to_end_us, end_to_end_spread FROM result "
        "ORDER BY position",
        [&](SQLite::Statement& row) {
          ResultRow r;
          r.network = text_at(row, 0);
          r.objectives = {real_at(row, 1), real_at(row, 2)};
          r.on_front = checked_at(row, 3, 0, 1, db, "result.on_front") != 0;
          r.test_accuracy = real_or_absent(row, 4);
          r.end_to_end_us = real_or_absent(row, 5);
          r.end_to_end_spread = real_at(row, 6);
          result.push_back(std::move(r));
        });
    return result;
  });
}

void RunStore::put_usage(const UsageRow& usage) {
  state_->with([&](Database& db) {
    db.run("INSERT INTO usage (side, core, started_s, ended_s, what) VALUES (?, ?, ?, ?, ?)", usage.side, usage.core,
           usage.started_s, usage.ended_s, usage.what);
  });
}

std::vector<UsageRow> RunStore::usage() const {
  return state_->with([](Database& db) {
    std::vector<UsageRow> result;
    db.each("SELECT side, core, started_s, ended_s, what FROM usage ORDER BY arrival", [&](SQLite::Statement& row) {
      result.push_back({static_cast<Side>(checked_at(row, 0, 1, 2, db, "usage.side")),
                        static_cast<int>(integer_at(row, 1)), real_at(row, 2), real_at(row, 3), text_at(row, 4)});
    });
    return result;
  });
}

void RunStore::put_event(double elapsed_s, const std::string& kind, const std::string& text) {
  state_->with([&](Database& db) {
    db.run("INSERT INTO event (elapsed_s, kind, text) VALUES (?, ?, ?)", elapsed_s, kind, text);
  });
}

std::vector<RunStore::EventRow> RunStore::events() const {
  return state_->with([](Database& db) {
    std::vector<EventRow> result;
    db.each("SELECT elapsed_s, kind, text FROM event ORDER BY arrival", [&](SQLite::Statement& row) {
      result.push_back({real_at(row, 0), text_at(row, 1), text_at(row, 2)});
    });
    return result;
  });
}

void RunStore::put_value(const std::string& name, const std::string& value) {
  state_->with([&](Database& db) {
    db.run("INSERT INTO value (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
           name, value);
  });
}

void RunStore::put_proxy(const std::string& network, double milliseconds) {
  put_value(kProxy + network, fmt::format("{}", milliseconds));
}

std::map<std::string, double> RunStore::proxies() const {
  return state_->with([](Database& db) {
    std::map<std::string, double> result;
    db.each("SELECT name, value FROM value WHERE name GLOB 'proxy_ms:*'", [&](SQLite::Statement& row) {
      const std::string name = text_at(row, 0), text = text_at(row, 1);
      double value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
        refuse_value(db.path(), "value." + name, "'" + text + "' is no number");
      result[name.substr(kProxy.size())] = value;
    });
    return result;
  });
}

std::optional<std::string> RunStore::value(const std::string& name) const {
  return state_->with([&](Database& db) {
    std::optional<std::string> result;
    db.each(
        "SELECT value FROM value WHERE name = ?", [&](SQLite::Statement& row) { result = text_at(row, 0); }, name);
    return result;
  });
}

}  // namespace sonar
