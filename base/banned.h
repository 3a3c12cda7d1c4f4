/* Force-included everywhere: functions that truncate silently, depend on the locale or run a shell do not compile.
 * base/buf.h, base/alloc.h and base/child.h are what to use instead. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H
/* System headers first, so that their own declarations are not poisoned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define BANNED(name) name##_is_banned_see_base_banned_h
#undef strcpy
#define strcpy BANNED(strcpy)
#undef strcat
#define strcat BANNED(strcat)
#undef sprintf
#define sprintf BANNED(sprintf)
#undef vsprintf
#define vsprintf BANNED(vsprintf)
#undef strncpy
#define strncpy BANNED(strncpy)
#undef strncat
#define strncat BANNED(strncat)
#undef strtok
#define strtok BANNED(strtok)
#undef gmtime
#define gmtime BANNED(gmtime)
#undef localtime
#define localtime BANNED(localtime)
#undef ctime
#define ctime BANNED(ctime)
#undef system
#define system BANNED(system)
#undef popen
#define popen BANNED(popen)
#undef atoi
#define atoi BANNED(atoi)
#undef atol
#define atol BANNED(atol)
#undef atof
#define atof BANNED(atof)
#undef alloca
#define alloca BANNED(alloca)
#endif
