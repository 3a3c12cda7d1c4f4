/* Descriptor numbers and the argument that our side, the leader and the sandbox program agree on. */
#ifndef BASE_ATTEMPT_LEADER_FDS_H
#define BASE_ATTEMPT_LEADER_FDS_H

/* attempt_start -> leader */
#define LEADER_FD_LOCK 3
#define LEADER_FD_STATUS 4
#define LEADER_FD_SECRETS 5

/* leader -> sandbox program -> process 1 of the sandbox, which is the leader program again, reached through INSIDE_EXE: no path has to
 * be visible inside, any root file system will do. */
#define INSIDE_FD_REPORT 3
#define INSIDE_FD_JOB 4
#define INSIDE_FD_EXE 5
#define INSIDE_FD_PASSWD 6
#define INSIDE_FD_GROUP 7
#define INSIDE_FD_END 8
#define INSIDE_EXE "/proc/self/fd/5"
#define INSIDE_ARG "--inside"

#define LEADER_RESULT_MAX (16U << 20)
#endif
