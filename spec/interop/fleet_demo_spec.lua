-- fleet_demo_spec.lua - examples/fleet: a Lua front, two Lua workers of group gpu and a TypeScript worker, killed while
-- one workflow crosses all of them.
--
-- A kill counts if the server's log shows it: a task that was acquired, and acquired again without having been fulfilled,
-- suspended or released in between. Each film has one at least; 3 films, or 100 with DA_LONG=1.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local probe = require("da_probe")
local harness = require("spec.support.harness")
local http = require("spec.support.http")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local FILMS = harness.long and 100 or 3
local FAR = 9007199254740991
local example = uv.cwd() .. "/examples/fleet/"

describe("examples/fleet", function()
  local place, server, url, connection
  local workers = {}

  local function start(name)
    if name == "studio" then
      local home = uv.cwd() .. "/build/interop"
      os.execute(("cp '%sstudio.mjs' '%s/studio.mjs'"):format(example, home)) -- beside the SDK
      workers.studio = program.spawn({ home .. "/studio.mjs", url }, { command = home .. "/node", env = { LD_PRELOAD = "" } })
    else
      local group = name:match("%a+")
      workers[name] = program.spawn({ "worker", example .. group .. ".lua", "--group", group, "--server", url, "--lease", "2s" },
        { cwd = place.dir })
    end
  end

  local function kill(name)
    workers[name]:signal_with("sigkill"):wait()
    start(name)
  end

  setup(function()
    print(interop.versions())
    place = program.place(true)
    server = serve.start(place, { "--listen", "127.0.0.1:0", "--access-log", "--log", "info", "--retry-timeout", "1s" })
    url = "http://" .. server.address
    connection = http.connect(server.address)
    for _, name in ipairs { "front", "gpu1", "gpu2", "studio" } do start(name) end
    for _, name in ipairs { "front", "gpu1", "gpu2" } do workers[name]:wait_for(" serves ") end
  end)
  teardown(function()
    for _, worker in pairs(workers) do worker:signal_with("sigkill"):wait() end
    serve.stop(server)
    assert.equal(0, place:run("verify").code)
    place:remove()
  end)

  -- How often a holder of a task of this film died, by the log.
  local function deaths(film)
    local held, count = {}, 0
    for kind, id, status in server.err:gmatch("kind=task%.(%l+) id=(%S+) status=(%d+)") do
      if (id == film or id:sub(1, #film + 1) == film .. ":") and status == "200" then
        if kind == "acquire" then
          if held[id] then count = count + 1 end
          held[id] = true
        elseif kind == "fulfill" or kind == "suspend" or kind == "release" then
          held[id] = nil
        end
      end
    end
    return count
  end

  local function state(film)
    local status, answer = connection:call("promise.get", { id = film })
    assert.equal(200, status)
    return answer.promise
  end

  it("comes to the right end however often its workers die", function()
    local total = 0
    for i = 1, FILMS do
      local film = "film-" .. i
      local param = json.encode { func = "film", args = { "dawn" .. i, 4 }, version = 1 }
      local status = connection:call("promise.create", { id = film, timeoutAt = FAR, param = { data = probe.base64(param) },
        tags = { ["resonate:target"] = "poll://any@front", ["resonate:origin"] = film, ["resonate:branch"] = film,
          ["resonate:parent"] = film, ["resonate:scope"] = "global" } })
      assert.equal(200, status)
      server:wait_for("kind=task.acquire id=" .. film .. ":render.")
      kill(i % 2 == 0 and "gpu1" or "gpu2")
      kill(i % 2 == 0 and "gpu2" or "gpu1")
      if i % 3 == 0 then kill("studio") end
      if i % 4 == 0 then kill("front") end
      program.turn_until(function() return "the end of " .. film end, function() return state(film).state ~= "pending" end)
      local promise = state(film)
      local frames = {}
      for n = 1, 4 do frames[n] = ("dawn%d#%d"):format(i, n) end
      local wanted = ("dawn%d, 4 frames, with poster dawn%d#0: %s"):format(i, i, table.concat(frames, " "))
      assert.same({ wanted, "resolved" }, { (json.decode(probe.base64_read(promise.value.data))), promise.state })
      local died = deaths(film)
      assert.is_true(died > 0, "nobody died with " .. film)
      total = total + died
    end
    print(("%d films, %d deaths between a claim and its end, by the server's log"):format(FILMS, total))
  end)
end)
