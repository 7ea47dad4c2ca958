"""The main job with stubs that grpcio generates from proto/: sign in, chat as a stream, run as a stream."""
import sys

import grpc
from devstudio.auth.v1 import auth_pb2, auth_pb2_grpc
from devstudio.llm.v1 import llm_pb2, llm_pb2_grpc
from devstudio.sandbox.v1 import run_pb2, run_pb2_grpc

target, email, password = sys.argv[1:4]
with grpc.insecure_channel(target) as channel:
    login = auth_pb2_grpc.AuthServiceStub(channel).Login(
        auth_pb2.LoginRequest(email=email, password=password), timeout=30
    )
    metadata = [("authorization", f"Bearer {login.access_token}")]

    request = llm_pb2.ChatRequest(prompt="Say hello.", max_tokens=16)
    pieces = list(llm_pb2_grpc.LlmServiceStub(channel).Chat(request, metadata=metadata, timeout=60))
    assert "".join(piece.delta for piece in pieces) == pieces[-1].text, pieces
    assert pieces[-1].usage.completion_tokens > 0, pieces[-1]
    print(f"chat: {len(pieces)} messages, {pieces[-1].usage.completion_tokens} tokens")

    exec_request = run_pb2.RunExecRequest(engine="run", runtime="python", code="print('OK')")
    events = list(
        run_pb2_grpc.SandboxServiceStub(channel).StreamExec(
            run_pb2.StreamExecRequest(exec=exec_request), metadata=metadata, timeout=60
        )
    )
    assert events[0].started.exec_id, events
    assert events[-1].result.stdout == "OK\n", events[-1]
    print(f"run: {len(events)} messages")

    try:
        llm_pb2_grpc.LlmServiceStub(channel).CountTokens(llm_pb2.CountTokensRequest(prompt="x"), timeout=30)
        raise SystemExit("a call without a token was let in")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
print("all done")
