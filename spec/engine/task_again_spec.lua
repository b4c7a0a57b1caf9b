-- task_again_spec.lua - task.again: the next generation of an execution begins, in one commit.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("task.again", function()
  it("makes the generation's mark, settled, and notes its number in the promise", function()
    local world = run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      again P1 1 P1:~2 generation=2 param=args created=4
        -> 200 resolved param=args createdAt=4 at=9, deadline P1:~2 none, task P1 acquired v1 lease=50
      again P1 1 P1:~3 generation=3  -> 200 resolved
    ]])
    local numbers = {}
    for _, id in ipairs { "P1", "P1:~2", "P1:~3" } do numbers[id] = world.probe:promise(id).call.generation end
    assert.same({ P1 = 3, ["P1:~2"] = 2, ["P1:~3"] = 3 }, numbers)
  end)

  it("forgets what has resumed the task, and leaves its callbacks to those they wait for", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      create A
      create B
      suspend P1 1 A B
      settle A resolved          -> 200, execute P1 v1
      acquire P1 1 ttl=50
      settle B resolved          -> 200, task P1 acquired v2 resumes=1
      create C
      callback C P1              -> 200, awaits P1 C
      again P1 2 P1:~2           -> 200, task P1 acquired v2 resumes=0, awaits P1 C
      settle C resolved          -> 200, task P1 acquired v2 resumes=1
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      again P1 0 P1:~2   -> 404 "Task not found"
      create P1 target=w1
      again P1 0 P1:~2   -> 409 "Version mismatch", no P1:~2
      acquire P1 0 ttl=50
      again P1 2 P1:~2   -> 409 "Version mismatch"
    ]])
  end)

  it("takes the numbers one after the other, each once", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      again P1 1 P1:~3 generation=3  -> 422 "The generation does not follow the last one", no P1:~3
      again P1 1 P1:~2 generation=2  -> 200
      again P1 1 P1:~2 generation=2  -> 422 "The generation does not follow the last one"
      create P1:~3
      again P1 1 P1:~3 generation=3  -> 422 "The generation does not follow the last one"
    ]])
  end)

  it("settles a promise that is past its deadline instead", function()
    run([[
      taskcreate P1 target=w1 ttl=50 timeout=20
      at 30
      again P1 1 P1:~2  -> 409, P1 timedout, no P1:~2
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      again P1 1 P1                      -> 400
      again P1 1 P2:~2                   -> 400 "Action ID must lie below the task ID"
      again P1 1 P1:~1 generation=1      -> 400 "Generation must be at least 2"
      again P1 1 P1:~2 timeout=90        -> 400 "A generation has no deadline"
      again P1 1 P1:~2 target=w1         -> 400 "A step must not have a resonate:target tag", no P1:~2
    ]])
  end)
end)
