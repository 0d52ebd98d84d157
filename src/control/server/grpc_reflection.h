/* control/server/grpc_reflection.h - the schema of the StatsService for tools that ask the
 * server for it (grpcurl): grpc.reflection.v1 and v1alpha ServerReflection. Stateless. */
#ifndef CONTROL_SERVER_GRPC_REFLECTION_H
#define CONTROL_SERVER_GRPC_REFLECTION_H

#include <stddef.h>
#include <stdint.h>

struct grpc_call;

/* Answers one ServerReflectionRequest; a streaming method. @arg is not used. */
void grpc_reflection_answer(void *arg, struct grpc_call *call, const uint8_t *message, size_t len);

#endif
