defmodule HelloTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  test "it prints to its group leader" do
    assert capture_io(fn -> Hello.world() end) == "hello world\n"
  end
end
